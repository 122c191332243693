//! The images: what each is made of, its content hash, and how it is built.
