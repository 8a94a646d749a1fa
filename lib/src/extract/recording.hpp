// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>
#include <jobruntime/extract.hpp>
#include <jobruntime/net.hpp>

#include "extract/child_run.hpp"

namespace jobruntime::extract {

/// One answer of a server, or why there was none.
struct RecordedExchange {
    std::string by;  ///< The extractor that asked.
    std::string method, url;
    std::optional<Error> error;
    net::Response response;  ///< Without an error. Of its headers those that extractors read.
    bool used = false;       ///< By this replay.
};

/// One run of a program: what it wrote, how it ended.
struct RecordedRun {
    std::string by;
    std::vector<std::string> lines, complaints;  ///< Of stdout and stderr.
    std::vector<std::string> files;              ///< That it left in its folder; their contents are not kept.
    std::string denial;                          ///< What the address guard kept it from at last.
    ExitStatus status;
    std::optional<Error> error;
    bool used = false;
};

class Recording::Impl {
public:
    bool replays() const noexcept { return replays_; }
    const RecordedCase& asked() const noexcept { return asked_; }

    /// An answer: `live`'s, taken down, or the recorded one. Where one address was asked for several times,
    /// the answers come in their order, and the last again and again.
    Result<net::Response> fetch(std::string_view by, std::string_view method,
                                const net::FetchRequest& request,
                                const std::function<Result<net::Response>()>& live);
    /// Takes an answer down that came by another way.
    void add(RecordedExchange exchange);
    /// The recorded answer, or nothing.
    RecordedExchange* find(std::string_view by, std::string_view method, std::string_view url);
    /// run_child, taken down or played.
    Result<void> run(const ChildRun& run, Deadline deadline, const std::stop_token& stop, ChildEnd& end);
    /// What the guard of the latest run has refused: noted, or told.
    std::string denial(std::string_view by, const std::string& seen);

    /// What was decided of a host's addresses. Of one that was never asked for, a replay knows nothing.
    std::optional<bool> allowed(const std::string& host) const;
    void note_host(const std::string& host, bool allowed) { hosts_[host] = allowed; }
    /// What a request shows of whoever sends it.
    void note_secrets_of(const net::FetchRequest& request);
    /// What goes along with the download: cookies may be of hosts that this extraction never asked.
    void note_secrets_of(const MediaInfo& info);
    /// What a program says in JSON: `cookies` and `http_headers` wherever they stand.
    void note_secrets_of(const boost::json::value& said);
    /// A value that no file may have.
    void note_secret(std::string_view value);

    Result<void> save(const std::string& folder, RecordedCase asked) const;
    Result<void> load(const std::string& folder);
    /// A body's bytes by the name of its file.
    using ReadBody = std::function<Result<std::string>(const std::string& name)>;
    /// What case.json says. The error's message goes on behind the file's name.
    Result<void> read_case(std::string_view text, const ReadBody& body_of);

private:
    void note_header(std::string_view name, std::string_view value);
    void note_cookies(const net::Headers& headers);
    void note_sent(const net::FetchRequest& request, const net::Response* answer, const std::vector<Cookie>& before);
    std::map<std::string, std::string> stand_ins() const;
    Result<void> play(RecordedRun& recorded, const ChildRun& run, ChildEnd& end) const;

    bool replays_ = false;
    RecordedCase asked_;
    std::vector<RecordedExchange> exchanges_;
    std::vector<RecordedRun> runs_;
    std::map<std::string, bool> hosts_;
    std::set<std::string> secrets_;
    std::size_t kept_bytes_ = 0;
};

/// run_child, past the recording where there is one.
Result<void> run_child(Recording* recording, const ChildRun& run, Deadline deadline,
                       const std::stop_token& stop, ChildEnd& end);

/// "***" for the values of a query that redact() hides: how addresses are compared.
std::string comparable(std::string_view url);

}  // namespace jobruntime::extract
