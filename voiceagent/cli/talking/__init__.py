"""What `voiceagent talk` shows of a call while it goes on."""
