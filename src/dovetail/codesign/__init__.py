"""Network and hardware searched together: the front of accuracy, cost and area over a family of designs."""
