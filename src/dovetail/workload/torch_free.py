"""Which of torch's operations cost nothing here, and which shape their output by the values they are given.

An operation is free when torch itself says so (a view, elementwise, a reduction) or when it stands in the lists below.
Whatever is neither free nor read as a problem computes something that nobody here knows: it is never taken to be free.
"""

from __future__ import annotations

from typing import Any

_ELEMENTWISE = """
    celu clamp elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid_forward mish prelu
    _prelu_kernel relu relu6 rrelu_with_noise rrelu_with_noise_functional softplus softshrink threshold
    add sub mul div rsub remainder floor_divide complex polar copysign where isin isinf isnan lerp addcmul addcdiv
    bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift _add_relu _conj_physical _masked_scale
    addr masked_fill native_dropout fill zero copy bucketize searchsorted linalg_cross convert_element_type
"""
_NORMS_AND_REDUCTIONS = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
    _batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional cudnn_batch_norm batch_norm_elemt
    batch_norm_stats miopen_batch_norm quantized_batch_norm native_layer_norm native_group_norm native_norm
    _fused_rms_norm _weight_norm_interface renorm softmax _softmax _safe_softmax _masked_softmax log_softmax
    _log_softmax _nested_tensor_softmax_with_shape all amax amin aminmax _aminmax any argmax argmin count_nonzero
    linalg__powsum linalg_vector_norm logsumexp max mean median min mode nanmedian nansum norm prod std std_mean sum
    trace var var_mean xor_sum equal allclose _is_all_true _is_any_true hash_tensor kthvalue topk sort histc
    bincount cummax cummin cumprod cumsum _cummax_helper _cummin_helper logcumsumexp _logcumsumexp
    unique_consecutive unique_dim unique_dim_consecutive _unique _unique2 segment_reduce
    binary_cross_entropy binary_cross_entropy_with_logits huber_loss mse_loss multi_margin_loss
    multilabel_margin_loss_forward nll_loss_forward nll_loss2d_forward smooth_l1_loss soft_margin_loss dist
"""
_POOLING_AND_RESAMPLING = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d fractional_max_pool3d
    max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d quantized_max_pool1d quantized_max_pool2d
    quantized_max_pool3d mkldnn_max_pool2d mkldnn_max_pool3d mkldnn_adaptive_avg_pool2d
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    grid_sampler_2d grid_sampler_3d _grid_sampler_2d_cpu_fallback affine_grid_generator
"""
_MOVING = """
    alias as_strided as_strided_scatter block_diag cat _chunk_cat channel_shuffle clone col2im constant_pad_nd detach
    diag_embed diagonal diagonal_scatter embedding _embedding_bag _embedding_bag_forward_only embedding_renorm expand
    flip gather im2col index index_add index_copy index_fill index_put _index_put_impl index_reduce index_select
    _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate _lazy_clone lift lift_fresh
    masked_scatter masked_select narrow nonzero nonzero_static _pack_padded_sequence _pad_packed_sequence permute
    _pin_memory pixel_shuffle pixel_unshuffle put reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d _reshape_alias reshape resize resize_as
    roll rot90 scatter scatter_add scatter_reduce select select_scatter set slice slice_scatter split split_with_sizes
    squeeze stack _stack t take to _to_copy _to_cpu transpose tril triu tril_indices triu_indices unbind unfold
    unsafe_split unsafe_split_with_sizes _unsafe_view unsqueeze view view_as_complex view_as_real view_dtype
    _transform_bias_rescale_qkv _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward to_padded_tensor
    _nested_tensor_from_tensor_list _nested_tensor_from_mask _nested_from_padded _nested_from_padded_tensor
    _nested_view_from_buffer _nested_view_from_jagged _nested_get_values _nested_get_offsets _nested_get_lengths
    _nested_tensor_size _nested_tensor_strides _nested_tensor_storage_offsets _nested_get_jagged_dummy
    _to_dense _to_sparse _to_sparse_csr _to_sparse_csc _to_sparse_bsr _to_sparse_bsc sparse_mask _coalesce coalesce
    _indices _values indices values crow_indices col_indices to_mkldnn mkldnn_reorder_conv2d_weight
    mkldnn_reorder_conv3d_weight _mkldnn_reshape _mkldnn_transpose lu_unpack argwhere one_hot
"""
_MAKING = """
    arange bartlett_window bernoulli binomial blackman_window cauchy empty empty_like empty_permuted empty_quantized
    empty_strided exponential eye full full_like geometric hamming_window hann_window kaiser_window linspace log_normal
    logspace multinomial new_empty new_empty_strided new_full new_ones new_zeros normal normal_functional ones ones_like
    poisson rand rand_like randint randint_like randn randn_like random randperm range scalar_tensor uniform zeros
    zeros_like _efficientzerotensor sparse_coo_tensor _sparse_coo_tensor_with_dims_and_tensors
    _sparse_compressed_tensor_unsafe _empty_affine_quantized _empty_per_channel_affine_quantized item
    _local_scalar_dense _assert_async _assert_scalar _functional_assert_async _functional_assert_scalar
    _assert_tensor_metadata
"""
_QUANTISING = """
    dequantize quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic int_repr q_per_channel_scales
    q_per_channel_zero_points _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor
    _fake_quantize_learnable_per_channel_affine _fake_quantize_learnable_per_tensor_affine
    fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _convert_weight_to_int4pack
    _convert_weight_to_int4pack_for_cpu _dyn_quant_pack_4bit_weight _choose_qparams_per_tensor choose_qparams_optimized
"""
#: Names without a trailing underscore (in place), ``_copy`` or overload.
_FREE = frozenset(
    " ".join((_ELEMENTWISE, _NORMS_AND_REDUCTIONS, _POOLING_AND_RESAMPLING, _MOVING, _MAKING, _QUANTISING)).split()
)
_QUANTIZED = """
    add add_out add_relu add_relu_out add_scalar add_scalar_out add_scalar_relu add_scalar_relu_out batch_norm
    batch_norm_relu batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu batch_norm3d batch_norm3d_relu cat
    cat_out cat_relu cat_relu_out celu clamp dropout elu embedding_4bit embedding_byte
    embedding_bag_2bit_rowwise_offsets
    embedding_bag_4bit embedding_bag_4bit_rowwise_offsets embedding_bag_byte embedding_bag_byte_rowwise_offsets
    group_norm hardswish instance_norm layer_norm leaky_relu max_pool1d max_pool2d mul mul_out mul_relu mul_relu_out
    mul_scalar mul_scalar_out mul_scalar_relu mul_scalar_relu_out prelu relu6 sigmoid softmax threshold linear_prepack
    linear_prepack_fp16 linear_unpack conv1d_prepack conv2d_prepack conv3d_prepack conv_prepack
"""
_QUANTIZED_DECOMPOSED = """
    quantize_per_tensor dequantize_per_tensor quantize_per_channel dequantize_per_channel quantize_per_token
    dequantize_per_token quantize_per_channel_group dequantize_per_channel_group choose_qparams
    choose_qparams_symmetric choose_qparams_per_token choose_qparams_per_token_asymmetric fake_quant_per_channel
    convert_element_type
"""
#: What costs nothing in the namespaces whose operations are known here.
_FREE_IN: dict[str, frozenset[str]] = {
    "aten": _FREE,
    "prims": _FREE,
    "quantized": frozenset(_QUANTIZED.split()),
    "quantized_decomposed": frozenset(_QUANTIZED_DECOMPOSED.split()),
    "onednn": frozenset({"qadd", "qadd_relu", "qmul", "qbatch_norm2d", "qconv_prepack", "qlinear_prepack"}),
    "torchvision": frozenset({"nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"}),
}
#: Operations whose namespaces neither take data nor make any: bookkeeping of torch itself.
BOOKKEEPING = frozenset({"prim", "profiler", "debugprims"})

#: Names under which free operations are counted, where dispatch names differ from what people call them.
_PLAIN_NAMES = {
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "adaptive_avg_pool3d",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_to_copy": "copy",
    "clone": "copy",
    "as_strided": "copy",
    "scalar_tensor": "constant",
    "_local_scalar_dense": "item",
}


def operation_name(schema_name: str) -> str:
    """Return what an operation is called here: torch's own by its bare name, others as ``namespace::name``."""
    return schema_name.removeprefix("aten::")


def costs_nothing(operation: Any) -> bool:
    """Say whether an operation (``torch._ops.OpOverload``) costs nothing in this model."""
    if operation.is_view or {"pointwise", "reduction", "inplace_view"} & _tags(operation):
        return True
    namespace, _, name = operation._schema.name.partition("::")
    return is_free(namespace, name)


def is_free(namespace: str, name: str) -> bool:
    """Say whether an operation costs nothing, by its name alone."""
    known = _FREE_IN.get(namespace, frozenset())
    bare = name.rstrip("_")
    return name in known or bare in known or bare.removesuffix("_copy") in known


def shape_follows_values(operation: Any, arguments: list[Any]) -> bool:
    """Say whether how much an operation puts out depends on the values that it is given, rather than their number."""
    name = operation_name(operation._schema.name)
    if name in ("index", "_unsafe_index"):
        return any(_is_mask(index) for index in arguments[1] if index is not None)
    return name == "torchvision::nms" or "dynamic_output_shape" in _tags(operation)


def works_by_place(operation: Any) -> bool:
    """Say whether each place of what an operation makes follows from the same place of each tensor it is given."""
    return "pointwise" in _tags(operation) or operation._schema.name in ("aten::clone", "aten::_to_copy")


def reads_values(operation: Any) -> bool:
    """Say whether an operation hands a tensor's value to the program, which may then go another way."""
    return "data_dependent_output" in _tags(operation)


def _is_mask(index: Any) -> bool:
    return str(index.dtype) in ("torch.bool", "torch.uint8")


def _tags(operation: Any) -> set[str]:
    return {tag.name for tag in operation.tags}


def plain_name(name: str) -> str:
    """Return what people call a free operation."""
    name = _PLAIN_NAMES.get(name, name)
    return _PLAIN_NAMES.get(name.rstrip("_"), name.rstrip("_"))
