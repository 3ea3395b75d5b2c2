"""Which model files exist, where each comes from, and how they are fetched and prepared."""
