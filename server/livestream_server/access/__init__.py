"""Who may enter paid streams."""
