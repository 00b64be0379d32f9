"""What a leaderboard shows: its rows, one for each method, its verdict and what is new on it."""
