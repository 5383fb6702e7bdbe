"""LearningCurve (to come)."""
class LearningCurve: pass
