"""`forebay simulate`: how one model would be scaled under a load that has not come yet."""
