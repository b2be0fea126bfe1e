"""Data, training, evaluation, published figures. Knows no hardware."""
