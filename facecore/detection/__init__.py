"""Face detectors: CenterFace (open pack) and SCRFD (InsightFace's packs)."""
