"""Products fused: what one makes and the next takes stays on chip, block by block; today attention's two."""
