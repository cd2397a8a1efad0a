//! The embedded stores: files of this machine under one data directory.
