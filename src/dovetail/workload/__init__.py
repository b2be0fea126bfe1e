"""Problems as loop dimensions and tensor projections; layers; networks; their import. Knows no hardware."""
