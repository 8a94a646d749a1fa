// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <vector>

#include "extract/probe.hpp"

// Which of a page's <video>s it is about. Pure; tested as a table.
namespace jobruntime::extract {

enum class Role {
    preview,  ///< Moving decoration, or a sample: what the page is about may be yet to come.
    other,
    main,  ///< The page's player; several where nothing tells them apart.
};

/// Whether it plays by itself, without sound and without controls: as samples do, and as some players begin.
bool is_silent(const ProbedVideo& video);

/// Judged side by side. A preview is what plays muted in a loop without controls, and what plays by itself, muted and
/// without controls, beside one that does not. Of the rest the main ones are those that have anything to play; that are
/// not much smaller on the page than the largest; that have controls; and that are not much shorter than the longest,
/// in this order, and each as far as it leaves one. What is not known speaks against none.
class Roles {
public:
    /// They are referred to, and must outlive it.
    explicit Roles(const std::vector<Probe>& probes);

    Role of(const ProbedVideo& video) const;
    bool has_main() const noexcept { return has_main_; }
    /// A main one plays what a script feeds it, or waits for that: it may be fed from any playlist the network showed.
    bool is_fed() const noexcept { return is_fed_; }
    /// And plays it already.
    bool plays_feed() const noexcept { return plays_feed_; }

private:
    std::map<const ProbedVideo*, Role> roles_;
    bool has_main_ = false;
    bool is_fed_ = false;
    bool plays_feed_ = false;
};

/// Whether a script feeds it.
bool is_fed_by_script(const ProbedVideo& video);

}  // namespace jobruntime::extract
