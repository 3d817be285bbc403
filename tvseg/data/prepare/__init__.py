"""From downloads, or a clinic's own drawings, to centres in the DoFE folder layout."""
