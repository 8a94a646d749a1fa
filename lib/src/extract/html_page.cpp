// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/html_page.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "extract/child_run.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace {

constexpr std::size_t max_text = 6000;
constexpr std::size_t max_metas = 64;
constexpr std::size_t max_videos = 24;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
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

/// One tag: its name in lower case and its attributes.
struct Tag {
    std::string name;
    bool closing = false;
    std::vector<std::pair<std::string, std::string>> attributes;

    std::string_view attr(std::string_view wanted) const {
        for (const auto& [key, value] : attributes)
            if (key == wanted) return value;
        return {};
    }
    bool has(std::string_view wanted) const {
        return std::any_of(attributes.begin(), attributes.end(), [&](const auto& one) { return one.first == wanted; });
    }
};

/// Goes through a document once, after the HTML standard's tokenizer where it matters here: quotes in tags,
/// comments, and the raw text of script, style, title and textarea.
class Scanner {
public:
    explicit Scanner(std::string_view html) : html_(html) {}

    /// The text up to the next tag goes to `text`; false at the end.
    bool next(Tag& tag, std::string_view& text) {
        const auto begin = at_;
        while (at_ < html_.size()) {
            const auto open = html_.find('<', at_);
            if (open == std::string_view::npos || open + 1 >= html_.size()) break;
            const char c = html_[open + 1];
            if (c == '!' || c == '?') {
                const bool comment = html_.substr(open, 4) == "<!--";
                const auto end = comment ? html_.find("-->", open + 4) : html_.find('>', open);
                text = html_.substr(begin, open - begin);
                at_ = end == std::string_view::npos ? html_.size() : end + (comment ? 3 : 1);
                tag.name.clear();
                tag.closing = true;
                return true;
            }
            const bool closing = c == '/';
            const auto name = open + (closing ? 2 : 1);
            if (name >= html_.size() || !((html_[name] | 0x20) >= 'a' && (html_[name] | 0x20) <= 'z')) {
                at_ = open + 1;
                continue;
            }
            text = html_.substr(begin, open - begin);
            at_ = name;
            read_tag(tag, closing);
            return true;
        }
        text = html_.substr(std::min(begin, html_.size()));
        at_ = html_.size();
        return false;
    }

    /// Everything up to </name, which is not read.
    std::string_view raw_text(std::string_view name) {
        const auto begin = at_;
        while (at_ < html_.size()) {
            const auto close = html_.find("</", at_);
            if (close == std::string_view::npos) break;
            at_ = close;
            if (lower(html_.substr(close + 2, name.size())) == name) return html_.substr(begin, close - begin);
            at_ = close + 2;
        }
        at_ = html_.size();
        return html_.substr(begin);
    }

private:
    void read_tag(Tag& tag, bool closing) {
        tag.closing = closing;
        tag.attributes.clear();
        const auto begin = at_;
        while (at_ < html_.size() && !is_space(html_[at_]) && html_[at_] != '>' && html_[at_] != '/') ++at_;
        tag.name = lower(html_.substr(begin, at_ - begin));
        while (at_ < html_.size() && html_[at_] != '>') {
            if (is_space(html_[at_]) || html_[at_] == '/') {
                ++at_;
                continue;
            }
            read_attribute(tag);
        }
        if (at_ < html_.size()) ++at_;
    }

    void read_attribute(Tag& tag) {
        const auto begin = at_++;
        while (at_ < html_.size() && !is_space(html_[at_]) && html_[at_] != '>' && html_[at_] != '=' && html_[at_] != '/')
            ++at_;
        auto name = lower(html_.substr(begin, at_ - begin));
        auto value_at = at_;
        while (value_at < html_.size() && is_space(html_[value_at])) ++value_at;
        std::string_view value;
        if (value_at < html_.size() && html_[value_at] == '=') {
            at_ = value_at + 1;
            while (at_ < html_.size() && is_space(html_[at_])) ++at_;
            const char quote = at_ < html_.size() ? html_[at_] : '\0';
            if (quote == '"' || quote == '\'') {
                const auto end = std::min(html_.find(quote, at_ + 1), html_.size());
                value = html_.substr(at_ + 1, end - at_ - 1);
                at_ = std::min(end + 1, html_.size());
            } else {
                const auto from = at_;
                while (at_ < html_.size() && !is_space(html_[at_]) && html_[at_] != '>') ++at_;
                value = html_.substr(from, at_ - from);
            }
        }
        if (tag.attributes.size() < 64) tag.attributes.emplace_back(std::move(name), unescape_html(value));
    }

    std::string_view html_;
    std::size_t at_ = 0;
};

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

/// Marks of a challenge, as the browser's probe has them.
bool is_challenge(const Tag& tag) {
    const auto id = tag.attr("id");
    const auto classes = " " + std::string(tag.attr("class")) + " ";
    const auto source = tag.attr("src");
    const auto has = [](std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; };
    return id == "challenge-form" || id == "challenge-running" || id == "cf-challenge-running" || id == "captcha" ||
           id == "px-captcha" || has(classes, " cf-turnstile ") || has(classes, " h-captcha ") ||
           has(classes, " g-recaptcha ") || has(source, "challenges.cloudflare.com") || has(source, "hcaptcha.com") ||
           has(source, "/cdn-cgi/challenge-platform/h/");
}

int height_of(const Tag& source) {
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
        if (words.empty() || out.size() >= max_text) return;
        out += clean_line(unescape_html(words.substr(0, max_text)), max_text - out.size()) + "\n";
    }
    void script(const Tag& tag, std::string_view body) {
        if (lower(tag.attr("type")) == "application/ld+json" && page_.probe.json_ld.size() < 32)
            page_.probe.json_ld.emplace_back(trimmed(body));
        if (const auto id = tag.attr("id"); !id.empty() && page_.scripts.size() < 32)
            page_.scripts.emplace(id, trimmed(body));
    }
    void title(std::string_view body) {
        if (page_.probe.title.empty()) page_.probe.title = clean_line(trimmed(unescape_html(body)), 500);
    }
    void tag(const Tag& tag) {
        if (is_challenge(tag)) page_.probe.challenge_widget = true;
        if (tag.name == "base" && !tag.attr("href").empty()) {
            if (std::exchange(moved_, true)) return;  // The first one counts.
            if (auto moved = net::resolve(base_, trimmed(tag.attr("href")))) base_ = *std::move(moved);
        } else if (tag.name == "meta") {
            meta(tag);
        } else if (tag.name == "video") {
            in_video_ = !tag.closing;
            if (!tag.closing && page_.probe.videos.size() < max_videos) page_.probe.videos.push_back(video_of(tag));
        } else if (tag.name == "source" && in_video_ && !page_.probe.videos.empty()) {
            auto& sources = page_.probe.videos.back().sources;
            if (sources.size() < 16)
                sources.push_back({absolute(tag.attr("src")), std::string(tag.attr("type")), height_of(tag)});
        } else if (tag.name == "iframe" && !tag.closing && page_.frames.size() < 16) {
            if (auto address = absolute(tag.attr("src")); !address.empty()) page_.frames.push_back(std::move(address));
        } else if (tag.name == "input" && lower(tag.attr("type")) == "password") {
            page_.probe.password_field = true;
        } else if (tag.name == "link" && lower(tag.attr("type")) == "application/json+oembed" && page_.oembed.empty()) {
            page_.oembed = absolute(tag.attr("href"));
        }
    }
    HtmlPage take() { return std::move(page_); }

private:
    std::string absolute(std::string_view reference) const {
        reference = trimmed(reference);
        if (reference.empty()) return {};
        auto url = net::resolve(base_, reference);
        return url ? url->str() : std::string();
    }
    ProbedVideo video_of(const Tag& tag) const {
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
    void meta(const Tag& tag) {
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
    Scanner scanner(html);
    Builder page(base);
    Tag tag;
    std::string_view text;
    while (scanner.next(tag, text)) {
        page.text(text);
        if (tag.closing) {
            if (tag.name == "video") page.tag(tag);
            continue;
        }
        if (tag.name == "script") {
            page.tag(tag);
            page.script(tag, scanner.raw_text("script"));
        } else if (tag.name == "title") {
            page.title(scanner.raw_text("title"));
        } else if (tag.name == "style" || tag.name == "textarea" || tag.name == "template") {
            scanner.raw_text(tag.name);
        } else {
            page.tag(tag);
        }
    }
    page.text(text);
    return page.take();
}

}  // namespace jobruntime::extract
