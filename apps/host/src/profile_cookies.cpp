// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "profile_cookies.hpp"

#include <filesystem>
#include <memory>

#include <sqlite3.h>

namespace jobruntime::host {
namespace {

struct CloseDatabase {
    void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
};
struct EndStatement {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};

/// A path as part of an SQLite URI.
std::string in_uri(const std::string& path) {
    std::string out;
    for (const char c : path) {
        if (c == '?' || c == '#' || c == '%') {
            constexpr char digits[] = "0123456789ABCDEF";
            out += '%';
            out += digits[static_cast<unsigned char>(c) >> 4];
            out += digits[static_cast<unsigned char>(c) & 15];
        } else {
            out += c;
        }
    }
    return out;
}

}  // namespace

std::vector<KnownCookie> profile_cookies(const std::string& profile) {
    std::vector<KnownCookie> cookies;
    const auto path = profile + "/Default/Cookies";
    std::error_code hidden;  // Also when the folder is somebody else's: whoever needs the profile says what is wrong with it.
    if (!std::filesystem::exists(path, hidden)) return cookies;
    sqlite3* opened = nullptr;
    // immutable: a running browser holds the file locked, and its locks are none of our business.
    const auto uri = "file:" + in_uri(path) + "?mode=ro&immutable=1";
    const int failed = sqlite3_open_v2(uri.c_str(), &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
    const std::unique_ptr<sqlite3, CloseDatabase> database(opened);
    if (failed != SQLITE_OK) return cookies;
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v2(database.get(), "SELECT host_key, name, expires_utc FROM cookies LIMIT 10000", -1, &prepared, nullptr) != SQLITE_OK)
        return cookies;
    const std::unique_ptr<sqlite3_stmt, EndStatement> statement(prepared);
    while (sqlite3_step(statement.get()) == SQLITE_ROW) {
        const auto text = [&](int column) {
            const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), column));
            return std::string(bytes == nullptr ? "" : bytes);
        };
        KnownCookie cookie{text(0), text(1), 0};
        if (cookie.domain.starts_with('.')) cookie.domain.erase(0, 1);
        // Chromium counts microseconds since 1601.
        if (const auto since_1601 = sqlite3_column_int64(statement.get(), 2); since_1601 > 0)
            cookie.expires = since_1601 / 1'000'000 - 11'644'473'600;
        cookies.push_back(std::move(cookie));
    }
    return cookies;
}

}  // namespace jobruntime::host
