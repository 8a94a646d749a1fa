// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/html_page.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "extract/child_run.hpp"
#include "extract/html_scanner.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace {

constexpr std::size_t max_text = 6000;
constexpr std::size_t max_metas = 64;
constexpr std::size_t max_videos = 24;

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_html_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_html_space(text.back())) text.remove_suffix(1);
    return text;
}

void append_utf8(std::string& out, unsigned long code) {
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    }
}

bool is_wanted_meta(std::string_view name) {
    for (const std::string_view start : {"og:", "twitter:", "video:", "article:"})
        if (name.starts_with(start)) return true;
    for (const std::string_view whole : {"author", "date", "duration", "uploaddate", "datepublished"})
        if (name == whole) return true;
    return false;
}

bool is_url_meta(std::string_view name) {
    for (const std::string_view end : {":url", ":secure_url"})
        if (name.ends_with(end)) name.remove_suffix(end.size());
    return name == "og:video" || name == "og:image" || name == "twitter:player:stream" || name == "twitter:image";
}

bool has_part(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Marks of a challenge, as the browser's probe has them.
bool is_challenge(const HtmlTag& tag) {
    const auto id = tag.attr("id");
    const auto source = tag.attr("src");
    // Beside its challenges Cloudflare has a script that it puts into ordinary pages.
    return id == "challenge-form" || id == "challenge-running" || id == "cf-challenge-running" || id == "captcha" ||
           id == "px-captcha" || (has_part(source, "/cdn-cgi/challenge-platform/h/") && !has_part(source, "/scripts/jsd/"));
}

/// A captcha to be solved, which may guard a page or a form of it. The script that would draw one is none.
bool is_captcha(const HtmlTag& tag) {
    const auto classes = " " + std::string(tag.attr("class")) + " ";
    const auto source = tag.attr("src");
    const bool frame = tag.name == "iframe" && (has_part(source, "challenges.cloudflare.com") || has_part(source, "hcaptcha.com"));
    const bool box = has_part(classes, " cf-turnstile ") || has_part(classes, " h-captcha ") || has_part(classes, " g-recaptcha ");
    return frame || (box && tag.attr("data-size") != "invisible");
}

/// Something for people to write into.
bool is_field(const HtmlTag& tag) {
    if (tag.name == "textarea") return !tag.attr("name").ends_with("-response");  // Where a captcha puts its answer.
    const auto type = lower(tag.attr("type"));
    return tag.name == "input" && (type.empty() || type == "text" || type == "email" || type == "password" ||
                                   type == "search" || type == "tel" || type == "url");
}

/// Whether an element says of itself that it is not shown. Not of a whole page: one that begins so is shown by its script.
bool hides(const HtmlTag& tag) {
    if (tag.name == "html" || tag.name == "body") return false;
    if (tag.has("hidden") || tag.attr("aria-hidden") == "true" || (tag.name == "dialog" && !tag.has("open"))) return true;
    auto style = ";" + lower(tag.attr("style"));
    std::erase_if(style, is_html_space);
    return has_part(style, ";display:none") || has_part(style, ";visibility:hidden");
}

/// Follows where what is read is not shown: from the tag that hides it to the one that ends that.
class Curtain {
public:
    /// Takes the next tag; whether its element is not shown.
    bool hides_next(const HtmlTag& tag) {
        if (name_.empty()) {
            if (tag.closing || !hides(tag)) return false;
            if (holds_others(tag.name)) name_ = tag.name;
            depth_ = 1;
            return true;
        }
        if (name_ == "p") {  // A paragraph need not be ended: it holds no blocks.
            if (is_within_lines(tag.name)) return true;
            name_.clear();
            return hides_next(tag);
        }
        if (tag.name != name_) return true;
        depth_ += tag.closing ? -1 : 1;
        if (depth_ == 0) name_.clear();
        return true;
    }
    bool is_down() const { return !name_.empty(); }

private:
    static bool is_within_lines(std::string_view name) {
        constexpr std::array known{"a", "b", "br", "code", "em", "i", "img", "input", "label", "small", "span", "strong", "time", "u"};
        return std::find(known.begin(), known.end(), name) != known.end();
    }
    /// Of other elements many are not ended, such as entries of a list, so that it is not known what they hold.
    static bool holds_others(std::string_view name) {
        constexpr std::array known{"article", "aside", "dialog", "div", "fieldset", "footer", "form", "header",
                                   "main",    "nav",   "p",      "section", "span",     "ul"};
        return std::find(known.begin(), known.end(), name) != known.end() || has_part(name, "-");
    }
    std::string name_;  // Of the element that hides; empty = none.
    int depth_ = 0;     // Elements of that name in each other.
};

int height_of(const HtmlTag& source) {
    for (const auto* name : {"size", "res", "data-res", "label"}) {
        const auto text = source.attr(name);
        const auto digit = text.find_first_of("123456789");
        if (digit == std::string_view::npos) continue;
        int height = 0;
        std::from_chars(text.data() + digit, text.data() + text.size(), height);
        if (height >= 100 && height <= 9999) return height;
    }
    return 0;
}

/// "640" or "640px"; a share of the page says nothing here.
double pixels_of(std::string_view text) {
    int pixels = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), pixels);
    if (failed != std::errc{} || std::find(end, text.data() + text.size(), '%') != text.data() + text.size()) return 0;
    return std::clamp(pixels, 0, 1 << 14);
}

/// Puts what the tags say together.
class Builder {
public:
    explicit Builder(const net::Url& base) : base_(base) { page_.probe.url = base.str(); }

    void text(std::string_view words) {
        auto& out = page_.probe.text;
        words = trimmed(words);
        if (words.empty() || out.size() >= max_text || curtain_.is_down()) return;
        out += clean_line(unescape_html(words.substr(0, max_text)), max_text - out.size()) + "\n";
    }
    void script(const HtmlTag& tag, std::string_view body) {
        if (lower(tag.attr("type")) == "application/ld+json" && page_.probe.json_ld.size() < 32)
            page_.probe.json_ld.emplace_back(trimmed(body));
        if (const auto id = tag.attr("id"); !id.empty() && page_.scripts.size() < 32)
            page_.scripts.emplace(id, trimmed(body));
    }
    void title(std::string_view body) {
        if (page_.probe.title.empty()) page_.probe.title = clean_line(trimmed(unescape_html(body)), 500);
    }
    /// Every tag, also those that end an element.
    void tag(const HtmlTag& tag) {
        const bool shown = !curtain_.hides_next(tag);
        if (tag.name == "form") end_form(!tag.closing);
        if (tag.closing) {
            if (tag.name == "video") in_video_ = false;
            return;
        }
        if (shown) {
            if (is_challenge(tag)) page_.probe.challenge_widget = true;
            form_.captcha = form_.captcha || is_captcha(tag);
            form_.field = form_.field || (form_.open && is_field(tag));
        }
        if (tag.name == "base" && !tag.attr("href").empty()) {
            if (std::exchange(moved_, true)) return;  // The first one counts.
            if (auto moved = net::resolve(base_, trimmed(tag.attr("href")))) base_ = *std::move(moved);
        } else if (tag.name == "meta") {
            meta(tag);
        } else if (tag.name == "video") {
            in_video_ = true;
            if (page_.probe.videos.size() < max_videos) page_.probe.videos.push_back(video_of(tag));
        } else if (tag.name == "source" && in_video_ && !page_.probe.videos.empty()) {
            auto& sources = page_.probe.videos.back().sources;
            if (sources.size() < 16)
                sources.push_back({absolute(tag.attr("src")), std::string(tag.attr("type")), height_of(tag)});
        } else if (tag.name == "iframe" && page_.frames.size() < 16) {
            if (auto address = absolute(tag.attr("src")); !address.empty()) page_.frames.push_back(std::move(address));
        } else if (tag.name == "input" && shown && lower(tag.attr("type")) == "password") {
            page_.probe.password_field = true;
        } else if (tag.name == "link" && lower(tag.attr("type")) == "application/json+oembed" && page_.oembed.empty()) {
            page_.oembed = absolute(tag.attr("href"));
        }
    }
    HtmlPage take() {
        end_form(false);
        return std::move(page_);
    }

private:
    /// Of what stands in a form, or between two. A captcha beside fields guards what people send, not the page.
    struct Form {
        bool open = false, field = false, captcha = false;
    };
    void end_form(bool opens) {
        if (form_.captcha && !form_.field) page_.probe.challenge_widget = true;
        form_ = {.open = opens};
    }
    std::string absolute(std::string_view reference) const {
        reference = trimmed(reference);
        if (reference.empty()) return {};
        auto url = net::resolve(base_, reference);
        return url ? url->str() : std::string();
    }
    ProbedVideo video_of(const HtmlTag& tag) const {
        ProbedVideo video;
        video.src = absolute(tag.attr("src"));
        video.poster = absolute(tag.attr("poster"));
        video.controls = tag.has("controls");
        video.muted = tag.has("muted");
        video.loop = tag.has("loop");
        video.autoplay = tag.has("autoplay");
        video.area = pixels_of(tag.attr("width")) * pixels_of(tag.attr("height"));
        return video;
    }
    void meta(const HtmlTag& tag) {
        auto name = tag.attr("property");
        if (name.empty()) name = tag.attr("name");
        if (name.empty()) name = tag.attr("itemprop");
        const auto key = lower(name);
        if (!is_wanted_meta(key) || page_.probe.metas.size() >= max_metas) return;
        const auto content = tag.attr("content");
        page_.probe.metas.emplace_back(key.substr(0, 100),
                                       is_url_meta(key) ? absolute(content) : clean_line(content, 1000));
    }

    net::Url base_;
    HtmlPage page_;
    bool moved_ = false;
    bool in_video_ = false;
    Form form_;
    Curtain curtain_;
};

}  // namespace

std::string unescape_html(std::string_view text) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> names{
        {{"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}, {"nbsp", " "}}};
    std::string out;
    while (!text.empty()) {
        const auto mark = text.find('&');
        out += text.substr(0, mark);
        if (mark == std::string_view::npos) break;
        text.remove_prefix(mark);
        const auto end = text.substr(0, 12).find(';');
        const auto name = end == std::string_view::npos ? std::string_view() : text.substr(1, end - 1);
        bool known = false;
        if (name.size() > 1 && name.front() == '#') {
            const bool hex = name[1] == 'x' || name[1] == 'X';
            const auto digits = name.substr(hex ? 2 : 1);
            unsigned long code = 0;
            const auto [last, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
            known = failed == std::errc{} && !digits.empty() && last == digits.data() + digits.size();
            if (known) append_utf8(out, code);
        }
        for (const auto& [word, meaning] : names) {
            if (word != name) continue;
            out += meaning;
            known = true;
        }
        if (!known) out += '&';
        text.remove_prefix(known ? end + 1 : 1);
    }
    return out;
}

HtmlPage read_html(std::string_view html, const net::Url& base) {
    HtmlScanner scanner(html);
    Builder page(base);
    HtmlTag tag;
    std::string_view text;
    while (scanner.next(tag, text)) {
        page.text(text);
        page.tag(tag);
        if (tag.closing) continue;
        if (tag.name == "script") {
            page.script(tag, scanner.raw_text("script"));
        } else if (tag.name == "title") {
            page.title(scanner.raw_text("title"));
        } else if (tag.name == "style" || tag.name == "textarea" || tag.name == "template") {
            scanner.raw_text(tag.name);
        }
    }
    page.text(text);
    return page.take();
}

}  // namespace jobruntime::extract
