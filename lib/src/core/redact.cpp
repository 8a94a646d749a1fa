// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <string>

#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime {
namespace {

constexpr std::string_view hidden = "***";

/// Names whose values are secret wherever `name=value` stands in a URL's query. The last ones sign the media of content
/// networks.
constexpr std::array<std::string_view, 14> secret_words{"sig",    "signature",  "token", "key",  "secret", "password", "auth",
                                                        "policy", "credential", "jwt",   "hmac", "hdnea",  "hdnts",    "hdntl"};
/// Headers whose values are secret. The longer of two that share an end comes first.
constexpr std::array<std::string_view, 4> secret_headers{"proxy-authorization", "authorization", "set-cookie",
                                                         "cookie"};
/// What stands before a secret in a header's value, and may stand alone in a message.
constexpr std::array<std::string_view, 2> schemes{"bearer", "basic"};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool is_word(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

bool is_space(char c) { return c == ' ' || c == '\t'; }

bool starts_with(std::string_view text, std::string_view lower_case) {
    return text.size() >= lower_case.size() &&
           std::equal(lower_case.begin(), lower_case.end(), text.begin(), [](char a, char b) { return a == lower(b); });
}

bool names_a_secret(std::string_view name) {
    return std::any_of(secret_words.begin(), secret_words.end(), [name](std::string_view word) {
        for (std::size_t at = 0; at + word.size() <= name.size(); ++at)
            if (starts_with(name.substr(at), word)) return true;
        return false;
    });
}

/// `jrt_<id>_<secret>`: an access token of jobrt's own, wherever it stands, so also where the rules below copy: in a
/// name or a user. Its id is no secret and stays.
std::string without_own_tokens(std::string_view text) {
    constexpr std::string_view begin = "jrt_";
    constexpr std::size_t id = 8;
    std::string out;
    for (auto at = text.find(begin); at != std::string_view::npos; at = text.find(begin)) {
        const auto secret = at + begin.size() + id + 1;
        const bool is_token = secret < text.size() && text[secret - 1] == '_' && is_word(text[secret]) &&
                              std::ranges::all_of(text.substr(at + begin.size(), id), is_word);
        const auto kept = is_token ? secret : at + 1;
        out += text.substr(0, kept);
        text.remove_prefix(kept);
        if (!is_token) continue;
        out += hidden;
        while (!text.empty() && is_word(text.front())) text.remove_prefix(1);
    }
    out += text;
    return out;
}

/// Goes once over a text and copies it, leaving the secrets out.
class Redactor {
public:
    explicit Redactor(std::string_view text) : text_(text) { out_.reserve(text.size()); }

    std::string run() && {
        while (at_ < text_.size()) {
            if (!header() && !scheme() && !user_info() && !query_value()) out_ += text_[at_++];
        }
        return std::move(out_);
    }

private:
    bool word_begins() const { return at_ == 0 || !is_word(text_[at_ - 1]); }

    void copy_to(std::size_t end) {
        out_ += text_.substr(at_, end - at_);
        at_ = end;
    }

    void hide_to(std::size_t end) {
        if (end > at_) out_ += hidden;
        at_ = end;
    }

    /// `Cookie: …` up to the end of the line; `"cookie":"…"` up to the closing quote.
    bool header() {
        if (!word_begins()) return false;
        const auto rest = text_.substr(at_);
        for (const auto name : secret_headers) {
            if (!starts_with(rest, name)) continue;
            std::size_t value = at_ + name.size();
            if (value < text_.size() && (text_[value] == '"' || text_[value] == '\'')) ++value;
            while (value < text_.size() && is_space(text_[value])) ++value;
            if (value >= text_.size() || (text_[value] != ':' && text_[value] != '=')) continue;
            ++value;
            while (value < text_.size() && is_space(text_[value])) ++value;
            const char quote = value < text_.size() && (text_[value] == '"' || text_[value] == '\'') ? text_[value] : 0;
            if (quote) ++value;
            copy_to(value);
            hide_to(quote ? closing(quote) : std::min(text_.find_first_of("\r\n", at_), text_.size()));
            return true;
        }
        return false;
    }

    std::size_t closing(char quote) const {
        std::size_t end = at_;
        while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
        return std::min(end, text_.size());
    }

    /// `Bearer …` and `Basic …` outside a header; a token has no spaces (RFC 6750, RFC 7617).
    bool scheme() {
        if (!word_begins()) return false;
        for (const auto name : schemes) {
            if (!starts_with(text_.substr(at_), name)) continue;
            std::size_t value = at_ + name.size();
            if (value >= text_.size() || text_[value] != ' ') continue;
            while (value < text_.size() && text_[value] == ' ') ++value;
            const auto end = std::min(text_.find_first_of(" \t\r\n\"',;<>", value), text_.size());
            if (end - value < 8) continue;  // "a basic idea" is no credential.
            copy_to(value);
            hide_to(end);
            return true;
        }
        return false;
    }

    /// `scheme://user:password@host`: all between the first colon and the last `@`, also where the password
    /// has a slash that should have been escaped.
    bool user_info() {
        if (text_.substr(at_, 3) != "://") return false;
        const std::size_t begin = at_ + 3;
        // The next URI bounds this one, so that a text full of them is still gone over once.
        const auto rest_of_text = text_.substr(begin, text_.find("://", begin) - begin);
        const auto rest = rest_of_text.substr(0, rest_of_text.find_first_of("?# \t\r\n\"'<>"));
        const auto authority = rest.substr(0, rest.find('/'));
        const auto colon = authority.find(':');
        const auto host = rest.rfind('@');
        copy_to(begin);
        if (colon == std::string_view::npos || host == std::string_view::npos || colon > host) return true;
        const auto after_colon = authority.substr(colon + 1);
        const bool port = !after_colon.empty() && after_colon.find_first_not_of("0123456789") == std::string_view::npos;
        if (port && host > authority.size()) return true;  // https://host:443/@name
        copy_to(begin + colon + 1);
        hide_to(begin + host);
        return true;
    }

    /// `?name=value`, `&name=value`, also in the fragment, where some sites put tokens.
    bool query_value() {
        const char c = text_[at_];
        if (c != '?' && c != '&' && c != '#' && c != ';') return false;
        std::size_t end = at_ + 1;
        while (end < text_.size() && (is_word(text_[end]) || text_[end] == '.' || text_[end] == '%' ||
                                      text_[end] == '[' || text_[end] == ']'))
            ++end;
        if (end >= text_.size() || text_[end] != '=') return false;
        if (!names_a_secret(text_.substr(at_ + 1, end - at_ - 1))) return false;
        copy_to(end + 1);
        hide_to(std::min(text_.find_first_of("&#; \t\r\n\"'<>", at_), text_.size()));
        return true;
    }

    std::string_view text_;
    std::string out_;
    std::size_t at_ = 0;
};

}  // namespace

std::string redact(std::string_view text) { return Redactor(without_own_tokens(text)).run(); }

}  // namespace jobruntime
