"""What no design can beat: the least DRAM traffic that a layer has with so much room on the chip."""
