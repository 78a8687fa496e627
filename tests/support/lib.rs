//! Real parts for the suites.
