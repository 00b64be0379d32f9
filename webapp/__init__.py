"""The leaderboard app: Streamlit pages over a store that they only read. Never imports torch."""
