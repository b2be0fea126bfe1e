"""One loop nest: levels, loops, what is kept where; its text and YAML. Knows no cost."""
