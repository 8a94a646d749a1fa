// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/xml_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace jobruntime::media {
namespace {

constexpr std::string_view blanks = " \t\r\n";

Error bad_xml(std::string what) {
    return Error{Errc::corrupt, "NOT_MEDIA", "the manifest is not valid XML: " + std::move(what)};
}

bool is_name(char c, bool first) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (c & 0x80) != 0)
        return true;
    return !first && ((c >= '0' && c <= '9') || c == '-' || c == '.');
}

/// What stands between '&' and ';'; nothing when it is no character.
std::optional<char> referred(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, char>, 5> known{
        {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};
    for (const auto& [word, character] : known)
        if (name == word) return character;
    if (!name.starts_with('#')) return std::nullopt;
    name.remove_prefix(1);
    const bool hex = name.starts_with('x');
    if (hex) name.remove_prefix(1);
    unsigned code = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), code, hex ? 16 : 10);
    if (wrong != std::errc{} || end != name.data() + name.size() || code > 0x10ffff) return std::nullopt;
    if (code < 0x20 && blanks.find(static_cast<char>(code)) == std::string_view::npos) return std::nullopt;
    return code < 0x7f ? static_cast<char>(code) : '?';
}

/// Nothing when a reference in it is none that is known.
std::optional<std::string> decode(std::string_view raw) {
    std::string out;
    while (true) {
        const auto at = raw.find('&');
        out += raw.substr(0, at);
        if (at == std::string_view::npos) return out;
        raw.remove_prefix(at + 1);
        const auto end = raw.substr(0, 12).find(';');
        if (end == std::string_view::npos) return std::nullopt;
        const auto character = referred(raw.substr(0, end));
        if (!character) return std::nullopt;
        out += *character;
        raw.remove_prefix(end + 1);
    }
}

void trim(std::string& text) {
    text.erase(0, std::min(text.find_first_not_of(blanks), text.size()));
    text.erase(text.find_last_not_of(blanks) + 1);
}

class Reader {
public:
    Reader(std::string_view text, const XmlLimits& limits) : rest_(text), limits_(limits) {}

    Result<XmlElement> run() {
        if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
        const bool control = std::ranges::any_of(rest_, [](char c) {
            return static_cast<unsigned char>(c) < 0x20 && blanks.find(c) == std::string_view::npos;
        });
        if (control) return bad_xml("it has control characters");
        JR_TRY(skip_remarks());
        if (!rest_.starts_with('<')) return bad_xml("it does not begin with an element");
        auto root = element(1);
        if (!root) return root;
        JR_TRY(skip_remarks());
        if (!rest_.empty()) return bad_xml("something follows its end");
        return root;
    }

private:
    bool take(std::string_view word) {
        if (!rest_.starts_with(word)) return false;
        rest_.remove_prefix(word.size());
        return true;
    }

    /// Up to `end`, which is taken too.
    Result<std::string_view> until(std::string_view end) {
        const auto at = rest_.find(end);
        if (at == std::string_view::npos) return bad_xml("it ends before a " + std::string(end));
        const auto found = rest_.substr(0, at);
        rest_.remove_prefix(at + end.size());
        return found;
    }

    bool skip_blanks() {
        const auto count = std::min(rest_.find_first_not_of(blanks), rest_.size());
        rest_.remove_prefix(count);
        return count > 0;
    }

    /// Comments and processing instructions, outside the root element.
    Result<void> skip_remarks() {
        while (true) {
            skip_blanks();
            if (rest_.starts_with("<!DOCTYPE") || rest_.starts_with("<!doctype"))
                return bad_xml(
                    "it declares a document type, which is never read; the server may have sent a web page");
            const bool comment = take("<!--");
            if (!comment && !take("<?")) return {};
            if (auto skipped = until(comment ? "-->" : "?>"); !skipped) return std::move(skipped).error();
        }
    }

    std::string_view name() {
        std::size_t length = 0;
        while (length < rest_.size() && is_name(rest_[length], length == 0)) ++length;
        const auto found = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return found;
    }

    /// At its '<'.
    Result<XmlElement> element(std::size_t depth) {
        if (depth > limits_.max_depth) return bad_xml("its elements are nested too deeply");
        if (++elements_ > limits_.max_elements) return bad_xml("it has too many elements");
        rest_.remove_prefix(1);
        const auto full = name();
        if (full.empty()) return bad_xml("an element has no name");
        XmlElement found;
        found.name = full.substr(full.find(':') + 1);  // npos + 1 is 0.
        auto open = attributes(found);
        if (!open) return std::move(open).error();
        if (*open) JR_TRY(content(found, full, depth));
        return found;
    }

    /// To the end of the tag; false when that closes the element.
    Result<bool> attributes(XmlElement& into) {
        while (true) {
            const bool apart = skip_blanks();
            if (take("/>")) return false;
            if (take(">")) return true;
            const auto key = name();
            if (key.empty() || !apart) return bad_xml("a tag is not well-formed");
            skip_blanks();
            if (!take("=")) return bad_xml("an attribute has no value");
            skip_blanks();
            const bool single = rest_.starts_with('\'');
            if (!single && !rest_.starts_with('"')) return bad_xml("an attribute's value has no quotes");
            rest_.remove_prefix(1);
            const auto value = until(single ? "'" : "\"");
            if (!value) return value.error();
            const bool known =
                std::ranges::any_of(into.attributes, [&](const auto& one) { return one.first == key; });
            if (known || into.attributes.size() == limits_.max_attributes)
                return bad_xml("an element has too many attributes, or one of them twice");
            if (value->find('<') != std::string_view::npos || !decode(*value))
                return bad_xml("an attribute's value has an unknown entity or a tag in it");
            into.attributes.emplace_back(key, *value);
        }
    }

    Result<void> content(XmlElement& into, std::string_view full, std::size_t depth) {
        while (true) {
            const auto at = rest_.find('<');
            if (at == std::string_view::npos) return bad_xml("it ends inside an element");
            const auto text = decode(rest_.substr(0, at));
            if (!text) return bad_xml("it has an unknown entity");
            into.text += *text;
            rest_.remove_prefix(at);
            if (take("</")) {
                if (name() != full) return bad_xml("a closing tag has another name than the opening one");
                skip_blanks();
                trim(into.text);
                return take(">") ? Result<void>() : Result<void>(bad_xml("a closing tag is not well-formed"));
            }
            if (take("<![CDATA[")) {
                const auto plain = until("]]>");
                if (!plain) return plain.error();
                into.text += *plain;
            } else if (rest_.starts_with("<!--") || rest_.starts_with("<?")) {
                const bool comment = rest_.starts_with("<!--");
                rest_.remove_prefix(comment ? 4 : 2);
                if (auto skipped = until(comment ? "-->" : "?>"); !skipped) return std::move(skipped).error();
            } else {
                auto inner = element(depth + 1);
                if (!inner) return std::move(inner).error();
                into.children.push_back(*std::move(inner));
            }
        }
    }

    std::string_view rest_;
    const XmlLimits& limits_;
    std::size_t elements_ = 0;
};

}  // namespace

std::optional<std::string> XmlElement::get(std::string_view attribute) const {
    for (const auto& [key, value] : attributes)
        if (key == attribute) return decode(value);
    return std::nullopt;
}

const XmlElement* XmlElement::child(std::string_view wanted) const {
    const auto found = std::ranges::find(children, wanted, &XmlElement::name);
    return found == children.end() ? nullptr : &*found;
}

Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits) {
    return Reader(text, limits).run();
}

}  // namespace jobruntime::media
