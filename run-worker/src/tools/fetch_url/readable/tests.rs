use std::time::Instant;

use url::Url;

use super::super::tokens::MAX_TIME;
use super::{Readable, readable};

fn page(page: &str, whole: bool) -> Readable {
    readable(page, &Url::parse("https://e.com/p/").unwrap(), whole)
}

fn read(html: &str) -> String {
    page(html, true).text
}

#[test]
fn a_page_is_read_as_a_person_would() {
    let html = "<!doctype html><html><head><title>My  page</title><style>x{}</style>
        <script>if (a<b) alert('</p>')</script></head><body>
        <nav><a href='/x'>Home</a> <a href='#top'>Top</a> <a href='javascript:x()'>Do</a></nav>
        <h1>A <i>head</i>ing</h1>
        <p>Some <b>bold</b>&amp;\n <a href='https://e.com/a?b&amp;c'>link</a>.</p><ul><li>one<li>two</ul>
        <table><tr><th>a<th>b</th><tr><td>1</td><td>2</td></table><pre>  code\n   x</pre>
        <svg><title>no</title><path/></svg><noscript>no</noscript>End<br>Line</body></html>";
    let whole = page(html, true);
    assert_eq!((whole.title.as_str(), whole.is_cut, whole.needs_scripts), ("My page", false, false));
    insta::assert_snapshot!(whole.text, @r"
Home (https://e.com/x) Top Do

# A heading

Some bold& link (https://e.com/a?b&c).

- one
- two

a | b
1 | 2

  code
   x

End
Line
");
    let part = page(html, false);
    assert!(part.is_part && part.text.starts_with("# A heading") && whole.text.ends_with(&part.text));
}

#[test]
fn skipped_elements_end_at_their_end_tags() {
    assert_eq!(read("a<script src=x />secret()</script>b"), "ab");
    assert_eq!(read("a<style/>secret</style>b"), "ab");
    assert_eq!(read("a <svg><style/><script href='a.js'/><title/></svg> b"), "a b");
    assert_eq!(read("<a href='jobs.html'>J</a><a href='data:x'>D</a>"), "J (https://e.com/p/jobs.html)D");
    assert_eq!(read("<option>A</option><option>B</option>"), "A\nB");
}

#[test]
fn an_article_is_read_without_what_is_around_it() {
    let menu = "<li><a href='/m'>Menu</a>".repeat(50);
    let words = "word ".repeat(200);
    let html = format!(
        "<header><nav><ul>{menu}</ul></nav></header><main><h1>Title</h1><p>{words}</p><aside>Ad</aside>
         <p>The <a href='next'>next</a> part.</main><footer>Imprint</footer>"
    );
    let part = page(&html, false);
    assert!(part.is_part && part.text.starts_with("# Title\n\nword word"), "{:.60}", part.text);
    assert!(part.text.ends_with("The next (https://e.com/p/next) part."), "{}", part.text);
    for left_out in ["Menu", "Ad", "Imprint"] {
        assert!(!part.text.contains(left_out), "{left_out}");
        assert!(page(&html, true).text.contains(left_out), "{left_out}");
    }
}

#[test]
fn a_shell_for_scripts_says_so() {
    let shell = "<title>App</title><noscript>Please enable JavaScript.</noscript><div id=root></div>
        <script src=/main.js></script>";
    assert!(page(shell, false).needs_scripts);
    assert!(!page(&format!("{shell}<p>{}", "word ".repeat(200)), false).needs_scripts);
}

#[test]
fn hostile_pages_take_no_more_than_a_few_seconds() {
    let pieces = [
        "<div>",
        "<a href=x>",
        "<svg>",
        "<table><tr><td>",
        "<!--",
        "<p",
        "&amp",
        "</a>",
        "<title>",
        "<script>",
        "<main><nav>",
    ];
    let mut pages: Vec<_> = pieces.iter().map(|piece| piece.repeat((1 << 20) / piece.len())).collect();
    pages.push((0..200_000).fold("<p ".to_owned(), |page, number| page + &format!("a{number} ")));
    for html in pages {
        let begun = Instant::now();
        assert!(read(&html).len() < 3 << 20, "{html:.40}");
        assert!(begun.elapsed() < MAX_TIME * 6, "{html:.40}: {:?}", begun.elapsed());
    }
}
