"""What belongs to one lesson: its figures, its analyses and its widgets."""
