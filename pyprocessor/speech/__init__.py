"""What was said, when, how sure is that, and how is it written down? Transcripts, their scores, and their back ends."""
