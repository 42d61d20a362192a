//! Pages that are whole in themselves: pictures and style are in the HTML.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; margin: .5rem 0 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
.result { font-size: 2.4rem; font-weight: 600; } .note { opacity: .75; } .bad { color: #c62828; font-weight: 600; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }
td.n, th.n { text-align: right; } .wide { overflow-x: auto; } code { overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figure img { max-width: 100%; max-height: 44rem; background: #fff; } figcaption { opacity: .75; font-size: .9rem; }
.faces { display: flex; flex-wrap: wrap; gap: 4px; } .people { font-weight: normal; opacity: .75; }
.faces img, .gone { width: 96px; height: 96px; display: block; }
.gone { border: 1px dashed #8888; box-sizing: border-box; font-size: .7rem; overflow: hidden; padding: 4px; }
";

/// A page with a title.
pub fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// A picture, as the bytes of a PNG file, with what stands below it.
pub fn figure(png: &[u8], caption: &str) -> Markup {
    let source = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png));
    html! { figure { img src=(source) alt=(caption) loading="lazy"; figcaption { (caption) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_its_pictures_and_escapes_what_comes_from_outside() {
        let page = page("<b>", &html! { p { "a & b" } (figure(&[1, 2, 3], "\"it\"")) });
        assert!(page.contains("data:image/png;base64,AQID") && page.contains("a &amp; b"));
        assert!(page.contains("<title>&lt;b&gt;</title>") && page.contains("&quot;it&quot;") && !page.contains("http"));
    }
}
