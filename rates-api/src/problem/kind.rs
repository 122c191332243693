//! The types of problems: what a program tells them apart by (RFC 9457, section 3.1.1).

use http::StatusCode;

/// Each has a section in `/docs`, which its URI refers to, and an entry in `/openapi.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemType {
    InvalidDates,
    InvalidLocations,
    InvalidPage,
    InvalidIdempotencyKey,
    MalformedContent,
    IncompleteContent,
    Unauthorized,
    UnknownPath,
    UnknownBatch,
    MethodNotAllowed,
    ContentTimeout,
    BatchInProgress,
    ContentTooLarge,
    UnsupportedContentType,
    UnsupportedContentEncoding,
    WrongRows,
    IdempotencyKeyReused,
    Internal,
    DatabaseUnavailable,
    TooManyReads,
    ReadTooSlow,
    TooManyBatches,
    BatchInterrupted,
    BatchInDoubt,
    NotReady,
}

impl ProblemType {
    pub const ALL: [Self; 25] = [
        Self::InvalidDates,
        Self::InvalidLocations,
        Self::InvalidPage,
        Self::InvalidIdempotencyKey,
        Self::MalformedContent,
        Self::IncompleteContent,
        Self::Unauthorized,
        Self::UnknownPath,
        Self::UnknownBatch,
        Self::MethodNotAllowed,
        Self::ContentTimeout,
        Self::BatchInProgress,
        Self::ContentTooLarge,
        Self::UnsupportedContentType,
        Self::UnsupportedContentEncoding,
        Self::WrongRows,
        Self::IdempotencyKeyReused,
        Self::Internal,
        Self::DatabaseUnavailable,
        Self::TooManyReads,
        Self::ReadTooSlow,
        Self::TooManyBatches,
        Self::BatchInterrupted,
        Self::BatchInDoubt,
        Self::NotReady,
    ];

    /// A reference relative to the request, to the type's section in the documentation. It never changes.
    #[must_use]
    pub fn uri(self) -> &'static str {
        self.names().0
    }

    /// What it is in a few words, the same each time.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidDates => ("/docs#problem-invalid-dates", "Invalid dates"),
            Self::InvalidLocations => ("/docs#problem-invalid-locations", "Invalid locations"),
            Self::InvalidPage => ("/docs#problem-invalid-page", "Invalid page"),
            Self::InvalidIdempotencyKey => {
                ("/docs#problem-invalid-idempotency-key", "Invalid Idempotency-Key")
            }
            Self::MalformedContent => ("/docs#problem-malformed-content", "Malformed content"),
            Self::IncompleteContent => ("/docs#problem-incomplete-content", "Incomplete content"),
            Self::Unauthorized => ("/docs#problem-unauthorized", "No known token"),
            Self::UnknownPath => ("/docs#problem-unknown-path", "Unknown path"),
            Self::UnknownBatch => ("/docs#problem-unknown-batch", "Unknown batch"),
            Self::MethodNotAllowed => ("/docs#problem-method-not-allowed", "Method not allowed"),
            Self::ContentTimeout => ("/docs#problem-content-timeout", "Content timeout"),
            Self::BatchInProgress => ("/docs#problem-batch-in-progress", "Batch in progress"),
            Self::ContentTooLarge => ("/docs#problem-content-too-large", "Content too large"),
            Self::UnsupportedContentType => (
                "/docs#problem-unsupported-content-type",
                "Unsupported Content-Type",
            ),
            Self::UnsupportedContentEncoding => (
                "/docs#problem-unsupported-content-encoding",
                "Unsupported Content-Encoding",
            ),
            Self::WrongRows => ("/docs#problem-wrong-rows", "Wrong rows"),
            Self::IdempotencyKeyReused => ("/docs#problem-idempotency-key-reused", "Idempotency-Key reused"),
            Self::Internal => ("/docs#problem-internal", "Internal error"),
            Self::DatabaseUnavailable => ("/docs#problem-database-unavailable", "Database unavailable"),
            Self::TooManyReads => ("/docs#problem-too-many-reads", "Too many reads"),
            Self::ReadTooSlow => ("/docs#problem-read-too-slow", "Read too slow"),
            Self::TooManyBatches => ("/docs#problem-too-many-batches", "Too many batches"),
            Self::BatchInterrupted => ("/docs#problem-batch-interrupted", "Batch interrupted"),
            Self::BatchInDoubt => ("/docs#problem-batch-in-doubt", "Batch in doubt"),
            Self::NotReady => ("/docs#problem-not-ready", "Not ready"),
        }
    }

    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidDates
            | Self::InvalidLocations
            | Self::InvalidPage
            | Self::InvalidIdempotencyKey
            | Self::MalformedContent
            | Self::IncompleteContent => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::UnknownPath | Self::UnknownBatch => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BatchInProgress => StatusCode::CONFLICT,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedContentType | Self::UnsupportedContentEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::WrongRows | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DatabaseUnavailable
            | Self::TooManyReads
            | Self::ReadTooSlow
            | Self::TooManyBatches
            | Self::BatchInterrupted
            | Self::BatchInDoubt
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
