"""Parts that public designs name and no estimator here serves: what each of them is."""

KNOWN_PARTS = {
    "dac": "a digital-to-analog converter",
    "array_row_drivers": "drivers of a memory array's rows",
    "array_col_drivers": "drivers of a memory array's columns",
    "array_column_drivers": "drivers of a memory array's columns",
    "row_drivers": "drivers of a memory array's rows",
    "column_drivers": "drivers of a memory array's columns",
    "memory_cell": "a memory cell that computes",
    "memcell_storage": "a memory cell that computes",
    "memcell_compute": "a memory cell that computes",
    "memristor_crossbar": "a crossbar of memristors",
    "sample_and_hold": "an analog sample-and-hold stage",
    "eDRAM": "embedded DRAM",
    "XY_NoC": "a mesh network on chip",
    "A2D_conversion_system": "converters from analog to digital values",
    "D2A_conversion_system": "converters from digital to analog values",
    "router": "a router of a network on chip",
}
