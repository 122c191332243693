//! Descriptions of the document: paragraphs, and code between backticks.

use maud::{Markup, html};

/// One line of a description: what stands between backticks is code.
pub fn inline(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A description of several paragraphs.
pub fn paragraphs(text: &str) -> Markup {
    html! {
        @for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            p { (inline(paragraph)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        assert_eq!(
            inline("<a href=\"x\">&").into_string(),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
        assert_eq!(inline("a `<b>` c").into_string(), "a <code>&lt;b&gt;</code> c");
        assert_eq!(
            paragraphs("a\n\n`b`").into_string(),
            "<p>a</p><p><code>b</code></p>"
        );
    }
}
