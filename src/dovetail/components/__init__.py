"""Energy and area of one action of one component. Knows no mappings."""
