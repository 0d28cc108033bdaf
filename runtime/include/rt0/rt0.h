// All of rt0's public interface.
#pragma once
#include <rt0/chan.h>
#include <rt0/context.h>
#include <rt0/go.h>
#include <rt0/select.h>
#include <rt0/sync.h>
#include <rt0/time.h>
