"""Finding faces: CenterFace (open pack) and SCRFD (InsightFace's packs)."""
