//! The enricher: from the rings to final records in the click log.
