"""Where captures come from: file trees now, live sources by the same door."""
