"""The stream runtime: at-least-once delivery, exactly-once outcome. No word about faces in it."""
