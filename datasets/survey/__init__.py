"""What a data set holds: classes, sizes, ranges, copies, damaged files."""
