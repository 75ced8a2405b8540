"""Process A: opens the source, records what it computes, and converts it. Hostile from the moment the source is opened."""
