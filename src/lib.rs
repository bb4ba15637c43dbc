//! Patrols every merchant of a WeChat third-party platform.
