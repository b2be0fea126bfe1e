"""The study that this project grew from, reproduced and corrected."""
