// Headless Chromium for tests of pages, where there is one.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "tests/tools/run_command.h"

/// The browser's command: PLUMB_CHROMIUM, else chromium; empty where there is none, which is said.
inline std::string chromium() {
  const char* given = std::getenv("PLUMB_CHROMIUM");
  std::string name = given ? given : "chromium";
  bool there = run_shell("command -v " + name).code == 0;
  if (!there) MESSAGE("skipped: " << name << " was not found (apt-get install chromium; PLUMB_CHROMIUM names another)");
  return there ? name : "";
}

/// What `browser` does with the page at `address`: `options` say what.
inline Outcome browse(const std::string& browser, const plumb_test::Scratch& s, const std::string& address, const std::string& options) {
  return run_shell("HOME=" + s.path() + " timeout 100 " + browser +
                   " --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking --no-first-run " +
                   "--user-data-dir=" + s.path("profile") + " --virtual-time-budget=5000 " + options + " '" + address + "'");
}
