"""Tables with categories: networks and ways to train them that work well without tuning."""
