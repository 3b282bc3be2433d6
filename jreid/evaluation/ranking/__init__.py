"""From features to ranks: CMC, mAP, mINP, nearest neighbors and re-ranking."""
