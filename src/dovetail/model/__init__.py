"""What a mapping does: tiles, reads, fills, updates, multicast, cycles, energy. Not how it was found."""
