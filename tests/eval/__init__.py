"""How good the answers are, measured on labelled material; run by hand, on any folder of videos."""
