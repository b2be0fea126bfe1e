"""Data, training, evaluation: the accuracy of a network, measured so that a careful reader accepts it.

Everything but the statistics and the making of digits needs the extra ``torch``; import the modules themselves::

    from dovetail.accuracy.datasets import load_data
    from dovetail.accuracy.models import model_spec
    from dovetail.accuracy.training import fine_tune, train
    from dovetail.accuracy.evaluation import evaluate
    from dovetail.accuracy.statistics import interval, paired_difference
"""
