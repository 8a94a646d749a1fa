// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/html_scanner.hpp"

#include "extract/html_page.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

bool HtmlScanner::next(HtmlTag& tag, std::string_view& text) {
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

std::string_view HtmlScanner::raw_text(std::string_view name) {
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

void HtmlScanner::read_tag(HtmlTag& tag, bool closing) {
    tag.closing = closing;
    tag.attributes.clear();
    const auto begin = at_;
    while (at_ < html_.size() && !is_html_space(html_[at_]) && html_[at_] != '>' && html_[at_] != '/') ++at_;
    tag.name = lower(html_.substr(begin, at_ - begin));
    while (at_ < html_.size() && html_[at_] != '>') {
        if (is_html_space(html_[at_]) || html_[at_] == '/') {
            ++at_;
            continue;
        }
        read_attribute(tag);
    }
    if (at_ < html_.size()) ++at_;
}

void HtmlScanner::read_attribute(HtmlTag& tag) {
    const auto begin = at_++;
    while (at_ < html_.size() && !is_html_space(html_[at_]) && html_[at_] != '>' && html_[at_] != '=' && html_[at_] != '/')
        ++at_;
    auto name = lower(html_.substr(begin, at_ - begin));
    auto value_at = at_;
    while (value_at < html_.size() && is_html_space(html_[value_at])) ++value_at;
    std::string_view value;
    if (value_at < html_.size() && html_[value_at] == '=') {
        at_ = value_at + 1;
        while (at_ < html_.size() && is_html_space(html_[at_])) ++at_;
        const char quote = at_ < html_.size() ? html_[at_] : '\0';
        if (quote == '"' || quote == '\'') {
            const auto end = std::min(html_.find(quote, at_ + 1), html_.size());
            value = html_.substr(at_ + 1, end - at_ - 1);
            at_ = std::min(end + 1, html_.size());
        } else {
            const auto from = at_;
            while (at_ < html_.size() && !is_html_space(html_[at_]) && html_[at_] != '>') ++at_;
            value = html_.substr(from, at_ - from);
        }
    }
    if (tag.attributes.size() < 64) tag.attributes.emplace_back(std::move(name), unescape_html(value));
}

}  // namespace jobruntime::extract
