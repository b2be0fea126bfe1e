"""Which of ONNX's operations cost nothing here; what is neither free nor read computes an unknown amount."""

from __future__ import annotations

from typing import Any

_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitCast BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
    CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp Floor Gelu Greater
    GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not
    Or PRelu Pow QuantizeLinear Reciprocal Relu RotaryEmbedding Round Selu Shrink Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Sub Sum SwiGLU Swish Tan Tanh ThresholdedRelu Where Xor Dropout Affine Scale ImageScaler
    ParametricSoftplus ScaledTanh
"""
_NORMS_AND_REDUCTIONS = """
    ArgMax ArgMin BatchNormalization CumProd CumSum GroupNormalization Hardmax InstanceNormalization LayerNormalization
    LogSoftmax LpNormalization LRN MeanVarianceNormalization NegativeLogLikelihoodLoss ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RMSNormalization
    SimplifiedLayerNormalization Softmax SoftmaxCrossEntropyLoss TopK
"""
_POOLING_AND_RESAMPLING = """
    AffineGrid AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample LpPool MaxPool MaxRoiPool MaxUnpool
    NonMaxSuppression Resize RoiAlign Upsample
"""
_MOVING = """
    CenterCropPad Col2Im Compress Concat ConcatFromSequence DepthToSpace Expand Flatten Gather GatherElements GatherND
    Identity NonZero OneHot Optional OptionalGetElement OptionalHasElement Pad Reshape ReverseSequence Scatter
    ScatterElements ScatterND SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
    Shape Size Slice SpaceToDepth Split SplitToSequence Squeeze StringConcat StringNormalizer StringSplit TensorScatter
    TfIdfVectorizer Tile Transpose Trilu Unique Unsqueeze RegexFullMatch ImageDecoder Crop
"""
_MAKING = """
    Bernoulli BlackmanWindow Constant ConstantOfShape EyeLike HammingWindow HannWindow MelWeightMatrix Multinomial
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range ConstantFill GivenTensorFill
"""
_MACHINE_LEARNING = """
    ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder
    Normalizer OneHotEncoder Scaler ZipMap
"""
_CONTRIBUTED = """
    BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu BitmaskBiasDropout BitmaskDropout CropAndResize
    DequantizeBFP DequantizeLinear DynamicQuantizeLinear EmbedLayerNormalization ExpandDims FastGelu
    GatherBlockQuantized GatherND Gelu GemmaRotaryEmbedding GridSample GroupNorm LayerNormalization NhwcMaxPool
    Pad QEmbedLayerNormalization QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu
    QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeBFP QuantizeLinear
    QuickGelu Range RemovePadding RestorePadding RotaryEmbedding SampleOp SimplifiedLayerNormalization SkipGroupNorm
    SkipLayerNormalization SkipSimplifiedLayerNormalization Tokenizer TorchEmbedding Trilu Unique UnfoldTensor
"""
_STANDARD = frozenset(
    " ".join((_ELEMENTWISE, _NORMS_AND_REDUCTIONS, _POOLING_AND_RESAMPLING, _MOVING, _MAKING)).split()
)
_FREE: dict[str, frozenset[str]] = {
    "": _STANDARD,
    "ai.onnx": _STANDARD,
    "ai.onnx.ml": frozenset(_MACHINE_LEARNING.split()),
    "com.microsoft": frozenset(_CONTRIBUTED.split()),
}
#: Operations whose output is as large as the values of their input say.
PICKING = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})


def costs_nothing(node: Any) -> bool:
    """Say whether a node costs nothing: its operation does, or it is control flow around nothing but such nodes."""
    if node.op_type in _FREE.get(node.domain, frozenset()):
        return True
    bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return bool(bodies) and all(costs_nothing(inner) for body in bodies for inner in body.node)
