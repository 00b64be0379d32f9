"""How well landmarks are predicted: errors, scores, ranks, intervals, uncertainty and verdicts."""
