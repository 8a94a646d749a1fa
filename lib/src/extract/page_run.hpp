// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <jobruntime/extract.hpp>

#include "extract/cdp.hpp"
#include "extract/classify.hpp"
#include "extract/engine.hpp"
#include "extract/media_finder.hpp"
#include "extract/page_rules.hpp"
#include "extract/page_state.hpp"
#include "extract/page_tape.hpp"
#include "extract/probe.hpp"

namespace jobruntime::extract {

/// One look at one page in one fresh target: opens it, listens, probes, decides, closes it. Runs in the
/// extraction's thread, which is also the only one to read the target's mailbox.
class PageRun {
public:
    /// `rule` may be null: then nobody knows what the data in the page's scripts means.
    /// `allowed`: where media that a recording keeps the beginning of may lie.
    PageRun(Engine& engine, const ExtractOptions& options, const ExtractRequest& request, const PageRule* rule,
            bool visible, const std::vector<net::Network>& allowed, Deadline deadline, std::stop_token stop);
    /// Closes the target and waits until it is gone, at most a second; else the browser is condemned.
    ~PageRun();
    PageRun(const PageRun&) = delete;
    PageRun& operator=(const PageRun&) = delete;

    Result<MediaInfo> run();
    /// Whether the failure was this target's own: its renderer crashed, or it never began to load.
    bool fresh_target_may_help() const noexcept { return target_failed_; }
    /// Whether the site was asked at all.
    bool navigated() const noexcept { return navigation_ != 0; }

private:
    Result<void> open();
    void navigate();
    Result<void> watch();
    Result<bool> watch_step(Deadline nav_deadline);
    Deadline next_wake(Deadline nav_deadline) const;
    bool may_end_quietly() const;
    Result<MediaInfo> decide();
    Result<void> wait_for_person(const Error& why);
    std::optional<Error> refusal() const;
    std::optional<Error> network_trouble() const;
    bool lost_guard() const;
    void tell_denials() const;
    Result<void> look(bool play, bool last);
    void read_data();
    std::optional<Error> judge() const;
    Result<void> vet_thumbnail(MediaInfo& info) const;
    void add_cookies(MediaInfo& info);
    void finish_tape();
    Error not_recorded() const;

    PageFacts facts() const;
    std::int64_t send(std::string_view session, std::string_view method, boost::json::object params);
    Result<boost::json::object> await(std::int64_t id, Deadline until, std::string_view what);
    Result<bool> pump(Deadline until);
    void react(const cdp::Message& event);
    void set_up(const std::string& session);
    Error out_of_time() const;
    void log(const std::string& line) const;

    Engine& engine_;
    const ExtractOptions& options_;
    const ExtractRequest& request_;
    const PageRule* const rule_;
    const bool visible_;
    const std::vector<net::Network>& allowed_;
    const Deadline deadline_;
    const std::stop_token stop_;
    const Deadline began_;
    const net::ProxyStats before_;  // What the guard had counted when this began.

    std::shared_ptr<cdp::Mailbox> mailbox_;
    std::string target_;
    std::string session_;
    std::set<std::int64_t> wanted_;
    std::map<std::int64_t, cdp::Message> answers_;
    std::optional<PageTape> tape_;  // With a recording only.
    std::int64_t navigation_ = 0;

    PageState state_;
    std::vector<Probe> probes_;
    Findings findings_;
    std::optional<Error> told_;  // What the page's own data says of the post, by the rule.
    std::string navigate_error_;
    bool target_failed_ = false;
    bool hung_ = false;  // The page's renderer does not answer.
    bool gone_ = false;  // The target has told us that it is closed.

    // Where watch() stands with the present document.
    int document_ = 0;
    bool looked_at_dom_ = false;
    bool looked_at_load_ = false;
    std::size_t seen_media_ = 0;
    std::uint64_t seen_activity_ = 0;
    Deadline quiet_since_{};
    std::optional<Deadline> settled_;
};

}  // namespace jobruntime::extract
