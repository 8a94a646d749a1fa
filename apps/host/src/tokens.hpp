// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::host {

/// One access token as its file has it. The token itself, `jrt_<id>_<64 digits>`, is shown once, when it is made.
struct Token {
    std::string id;          ///< 8 digits that name it in lists, logs and the audit.
    std::string name;        ///< Whose it is.
    Role role = Role::read;
    std::string hash;        ///< SHA-256 of the whole token; its 256 random bits leave nothing to guess.
    std::string created_at;  ///< ISO.
};

struct NewToken {
    Token token;
    std::string text;        ///< The secret.
};

/// The tokens of a file: JSON, which only its owner may read and write. Errc::invalid_argument (TOKEN_FILE_REFUSED) says
/// what is wrong with it and what to do; Errc::not_found when it is not there.
Result<std::vector<Token>> read_tokens(const std::string& path);
/// The same from what such a file has; the path is for the error.
Result<std::vector<Token>> parse_tokens(const std::string& path, const std::string& text);

/// Makes a token and, when it is the first, the file (mode 0600). A name has at most two, so that the old one works until the
/// new one is everywhere; then it is to be revoked. Atomic, also against other processes, and on disk once returned.
Result<NewToken> create_token(const std::string& path, const std::string& name, Role role, Time now);

/// Takes away the token of this id, or of this name when it has only one; answers which it was. An API that runs
/// refuses it from its next request on.
Result<Token> revoke_token(const std::string& path, const std::string& id_or_name);

}  // namespace jobruntime::host
