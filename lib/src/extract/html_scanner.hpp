// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jobruntime::extract {

/// One tag: its name in lower case and its attributes.
struct HtmlTag {
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
class HtmlScanner {
public:
    explicit HtmlScanner(std::string_view html) : html_(html) {}

    /// The text up to the next tag goes to `text`; false at the end.
    bool next(HtmlTag& tag, std::string_view& text);
    /// Everything up to </name, which is not read.
    std::string_view raw_text(std::string_view name);

private:
    void read_tag(HtmlTag& tag, bool closing);
    void read_attribute(HtmlTag& tag);

    std::string_view html_;
    std::size_t at_ = 0;
};

/// What HTML calls white space.
inline bool is_html_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

}  // namespace jobruntime::extract
